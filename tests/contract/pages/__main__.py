from tests.contract.pages.marks import fill_all

fill_all()
