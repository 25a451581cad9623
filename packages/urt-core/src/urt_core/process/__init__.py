"""What a process owes the others: it ends with its parent, says that it is alive, survives its reader, yields its cores."""
