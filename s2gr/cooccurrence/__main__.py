"""`python -m s2gr.cooccurrence`: the stage's command in dvc.yaml."""

from s2gr.stage import main

main("cooccurrence")
