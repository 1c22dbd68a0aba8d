"""Getting published data: resumable transfers, archives that are not trusted, folders whole or absent."""
