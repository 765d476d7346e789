"""hookrunner: posts in, scripts run, nothing acknowledged is lost."""

VERSION = "0.1.0"
