"""Arrays as native code reads them, on the host and on a device. Shapes of rows are not known here."""
