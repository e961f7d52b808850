"""Language models: which one an agent asks, within what bounds, and what each request costs."""
