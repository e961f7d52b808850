"""What Netra is measured beside: the limit of the server, the Channels tutorial's way, and Chainlit."""
