"""`python -m s2gr.content`: the stage's command in dvc.yaml."""

from s2gr.stage import main

main("content")
