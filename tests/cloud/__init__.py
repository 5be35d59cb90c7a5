"""The emulated AWS of the tests and the demo: moto, mended to what AWS documents."""
