"""Code that several folders of tests use: clients, servers, object factories, waiting."""
