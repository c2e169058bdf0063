"""Several server processes behind one gateway: started, watched and ended by one that serves nothing itself."""
