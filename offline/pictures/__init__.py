"""Pictures that offline jobs work on: where they are listed, where they lie, what their vectors are."""
