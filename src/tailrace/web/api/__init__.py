"""The operations of the API, by what they are about: each asks one function of the service."""
