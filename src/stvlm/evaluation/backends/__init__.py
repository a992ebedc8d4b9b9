"""Who answers, one module each; each loads what it needs when it is used."""
