"""Ground tracks of ICESat-2: where its reference orbits are, and which come near a region."""
