"""Who uses the APIs from outside: a browser on the documents' page, and clients made from the documents."""
