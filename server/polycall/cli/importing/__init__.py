"""``polycall import``: what users have at a vendor, brought over under the ids that it has there.

A *source* a vendor knows the vendor's answers: ``fetch`` asks the vendor's API and keeps the answers as the files of an
*export*, ``read`` makes *finds* of the files. A live import does both, one from an export folder only the second, so
that both see the same. One *writer* compares finds with what is here and creates what is missing, natively.
"""
