"""Commands about an app that is named by MODULE:APP: reset it, send to it, list its agents, show its tables."""
