"""Methods that choose a family, or fit one, without steps of an optimizer of the user's."""
