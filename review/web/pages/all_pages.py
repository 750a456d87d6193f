"""Every page that people work on."""

from aiohttp import web

from review.app import ReviewApp
from review.web.pages.audit_pages import AuditPages
from review.web.pages.case_pages import CasePages
from review.web.pages.erase_pages import ErasePages
from review.web.pages.figures_pages import FiguresPages
from review.web.pages.frame import Frame
from review.web.pages.held_pages import HeldPages
from review.web.pages.preferences import prefer
from review.web.pages.queue_pages import QueuePages


def add_pages(application: web.Application, review: ReviewApp) -> None:
    """Add the routes of all pages. Raises DeskError: the file with the words of the house cannot be used."""
    frame = Frame(review)
    QueuePages(frame).add_to(application)
    CasePages(frame).add_to(application)
    HeldPages(frame).add_to(application)
    AuditPages(frame).add_to(application)
    ErasePages(frame).add_to(application)
    FiguresPages(frame).add_to(application)
    application.router.add_post("/preferences", prefer)
