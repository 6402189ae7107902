"""`python -m s2gr.codebook`: the stage's command in dvc.yaml."""

from s2gr.stage import main

main("codebook")
