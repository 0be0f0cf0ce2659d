"""What tests of this project and of other packages stand on."""
