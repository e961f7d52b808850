const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

SwaggerUIBundle({
  url: document.body.dataset.document,
  dom_id: "#operations",
  deepLinking: true,
  docExpansion: "list",
  // Of the shapes only their names: each operation shows its own.
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  // No other host is asked whether the document is valid.
  validatorUrl: null,
});
