# frozen_string_literal: true

require_relative "../browser/chromium"
require_relative "jekyll_site"

# A site that somebody writes with Jekyll, as he sees it.
RSpec.describe "jekyll serve --livereload in Chromium", :browser, timeout: 120 do
  include JekyllSite

  before { skip("there is no Chromium") unless chromium? }
  after { @browser&.quit }

  def chromium?
    Chromium.program
  rescue Chromium::Failed
    false
  end

  # Waits until the page reads so. It may be in the middle of being loaded anew.
  def wait_for_text(window, text)
    Timeout.timeout(15) do
      sleep(0.05) until window.evaluate("document.body ? document.body.innerText : ''") == text
    rescue Chromium::Failed
      retry
    end
  end

  it "shows a page anew when its file changes" do
    serve_site do |jekyll, port|
      @browser = Chromium.new
      window = @browser.open("http://127.0.0.1:#{port}/")
      jekyll.wait_for(/Browser connected/)
      wait_for_text(window, "before")
      write_page("after")
      wait_for_text(window, "after")

      expect(jekyll.stop).to be_success
    end
    expect(features).to be_of_this_library
  end
end
