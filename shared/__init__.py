"""What all services share: messages, bus, context, store. It also keeps numeric libraries to one thread each.

That must be said before numpy is first imported, hence here: on a machine whose cores are busy, BLAS threads that wait
for each other turned a voice embedding of 0.1 s into one of minutes.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
