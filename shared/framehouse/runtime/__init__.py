"""What every service runs on: settings, server, channels, errors, jobs and telemetry."""
