"""The page on which the API can be tried, in a real browser: Debian's Chromium."""

import shutil

from tests.guarded import TOKEN, Guarded


class Page(Guarded):
    def setUp(self):
        super().setUp()
        chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
        if chromium is None or driver is None:
            self.skipTest("chromium and chromium-driver are not installed")
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
        from selenium.webdriver.support.ui import WebDriverWait

        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
            options.add_argument(f"--{argument}")  # as root, and in containers
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.browser = webdriver.Chrome(options=options, service=Service(driver))
        self.addCleanup(self.browser.quit)
        self.wait = WebDriverWait(self.browser, 30)

    def first(self, selector):
        found = self.wait.until(lambda browser: browser.find_elements("css selector", selector))
        return found[0]

    def tried(self, operation, answer, instance_id=None):
        """The element `answer` of the reply, once the operation has been tried."""
        here = f"#operations-{operation}"
        for selector in (".opblock-summary-control", ".try-out__btn"):
            self.click(f"{here} {selector}")
        if instance_id is not None:
            self.first(f"{here} input").send_keys(instance_id)
        self.click(f"{here} .execute")
        return self.first(f"{here} .live-responses-table {answer}")

    def click(self, selector):
        found = self.first(selector)
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def test_makes_an_environment_with_the_token_and_shows_it(self):
        self.browser.get(f"{self.server.url}/v1/docs/")
        self.first(".btn.authorize").click()
        self.first(".auth-container input").send_keys(TOKEN)
        self.first(".auth-btn-wrapper .authorize").click()
        self.first(".btn-done").click()
        told = self.tried("instances-env_create", ".highlight-code code").text
        instance_id = told.split('"')[3]
        status, _, about = self.ask("its user", "GET", f"/v1/envs/{instance_id}/")
        self.assertEqual((status, about["env_id"]), (200, "CartPole-v1"))
        self.ask("its user", "POST", f"/v1/envs/{instance_id}/reset/")
        picture = self.tried("episodes-env_render", "img", instance_id)
        self.wait.until(lambda browser: picture.get_property("naturalWidth") == 600)
        self.browser.set_window_size(500, 800)  # no narrower one is had
        wide = "return document.documentElement.scrollWidth - window.innerWidth"
        self.wait.until(lambda browser: browser.execute_script(wide) <= 0)
        self.assertEqual(self.browser.get_log("browser"), [])  # nothing was refused or missing
