"""The contract's messages as arrays and back; what is wrong in them is an InvalidInputError that names the field."""
