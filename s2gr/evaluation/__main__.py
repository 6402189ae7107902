"""`python -m s2gr.evaluation`: the stage's command in dvc.yaml."""

from s2gr.stage import main

main("evaluation")
