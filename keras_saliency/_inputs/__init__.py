"""What users pass, read, refused or made ready for one model; and the way back."""
