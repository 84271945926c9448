"""How fast the training loop is, measured beside what people would use instead, on this machine and in this hour.

    setting.py                  the model, the task and samples of its training split
    marks.py contender.py       what a contender is, and when its steps ended
    ours.py hf_trainer.py peft_loop.py pasta_reference.py    the contenders, a file each
    catalogue.py                their names
    booth.py                    a process for each of them, and the peak of its memory
    products.py                 the rate of matrix products
    rounds.py suite.py          rounds in turns, ratios; all of it in one run
    scores.py                   whether the same recipe ends at the same score
    table.py                    the answers, line by line beside the targets

Nothing in here is part of a cell, and no time is ever asserted.
"""
