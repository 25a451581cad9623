"""`urt-train evaluate` for a clone: python apps/evaluate.py [setting=value ...]"""

from urt_train.programs.evaluate import main

if __name__ == "__main__":
    main()
