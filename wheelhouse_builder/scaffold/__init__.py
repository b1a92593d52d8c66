"""What `whb init` writes: settings, and what runs `whb refresh` every night on GitHub, GitLab, systemd and cron."""
