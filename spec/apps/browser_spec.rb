# frozen_string_literal: true

require_relative "../browser/chromium"
require_relative "program"

# What somebody sees who writes a site with Jekyll.
RSpec.describe "jekyll serve --livereload in Chromium", :browser, timeout: 120 do
  around do |example|
    Dir.mktmpdir("jekyll") do |directory|
      @directory = directory
      FileUtils.mkdir(site)
      write_page("before")
      example.run
    end
  end

  before { skip("there is no Chromium") unless chromium? }
  after { @browser&.quit }

  def chromium?
    Chromium.program
  rescue Chromium::Failed
    false
  end

  def site = File.join(@directory, "site")

  def write_page(text)
    File.write(File.join(site, "index.html"), <<~HTML)
      ---
      ---
      <html><head><title>A page</title></head><body>#{text}</body></html>
    HTML
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
    port, livereload_port = Program.free_ports(2)
    Program.application(
      "jekyll", "serve", "--livereload", "--port", port.to_s,
      "--livereload-port", livereload_port.to_s,
      features: File.join(@directory, "features"), chdir: site
    ) do |jekyll|
      jekyll.wait_for(/Server running/)
      @browser = Chromium.new
      window = @browser.open("http://127.0.0.1:#{port}/")
      jekyll.wait_for(/Browser connected/)
      wait_for_text(window, "before")
      write_page("after")
      wait_for_text(window, "after")

      expect(jekyll.stop).to be_success
    end
    expect(File.join(@directory, "features")).to be_of_this_library
  end
end
