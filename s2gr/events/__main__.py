"""`python -m s2gr.events`: the stage's command in dvc.yaml."""

from s2gr.stage import main

main("events")
