"""Articles (encyclopedia, news): brought into the catalogue, and linked to the products that they are about."""
