"""What a bundle is measured against: other ways of screening, each as `export.evaluating.ways` describes one.

    tf-idf        words and letters of the examples, and logistic regression            words.py
    embedding     a sentence embedding, and logistic regression                         sentences.py
    bundle        another bundle as it is, of any family (FLAN-T5, for example)         bundle.py
    endpoint      a large model behind an OpenAI-compatible endpoint                    endpoint/

`known.py` makes one from its name. All but `endpoint` work on this machine alone.
"""
