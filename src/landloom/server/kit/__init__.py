"""Small parts with no domain word: ids, clock, paging, hashing."""
