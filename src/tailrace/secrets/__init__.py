"""Variables and Connections: their names and forms, where they are looked for, how they are encrypted and masked."""
