"""Reading views from the stores of a data folder."""
