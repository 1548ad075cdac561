"""The browser side: bridge, hub, WebSocket, SSE, HTTP API and the page."""
