"""`urt-train sample` for a clone: python apps/sample.py [setting=value ...]"""

from urt_train.programs.sample import main

if __name__ == "__main__":
    main()
