SwaggerUIBundle({
  url: document.body.dataset.document,
  dom_id: "#operations",
  deepLinking: true,
  docExpansion: "list",
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // No other host is asked whether the document is valid.
  validatorUrl: null,
});
