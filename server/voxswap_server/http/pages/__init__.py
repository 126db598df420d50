"""The switch panel and the overlay: static files in `files/`, and the routes that serve them."""
