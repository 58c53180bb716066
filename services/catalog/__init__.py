"""The facts of the catalogue: products, styles, reference images, offers, articles, feedback; and its one writer."""
