"""`python -m s2gr.recommendations`: the stage's command in dvc.yaml."""

from s2gr.stage import main

main("recommendations")
