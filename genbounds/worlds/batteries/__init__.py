"""The problems that bounds on average are attacked in, entered on import; one module for each kind of world."""
