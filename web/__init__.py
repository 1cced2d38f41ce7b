"""What is served over HTTPS: links that set phones up."""
