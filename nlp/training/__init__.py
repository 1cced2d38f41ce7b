"""How the model comes to be: our own sentences, readers of public corpora, training, evaluation."""
