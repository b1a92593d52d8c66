"""Why a wheel is as it is, or why a build failed and what to do: from what the wheelhouse and its history keep."""
