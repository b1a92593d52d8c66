"""Why a build failed: from the text of its log to a cause and a remedy."""
