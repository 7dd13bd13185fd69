# frozen_string_literal: true

require_relative "chromium"
require_relative "example"

# The page to look inside a server, in a real browser; screenshots go to tmp/screenshots.
RSpec.describe "the page to look inside, in Chromium", timeout: 120 do
  axe = File.join(Example::ROOT, "tmp/clients/node_modules/axe-core/axe.min.js")

  before(:context) do
    @browser = Chromium.new
    @server = Server.new({ http: { "/-/" => :live } }) { |ws| ws.onmessage { |it| ws.send(it) } }
  end

  after(:context) do
    @browser&.quit
    @server&.stop
  end

  def page = @browser.open("http://127.0.0.1:#{@server.port}/-/")

  # Text that stands beside a plot's title.
  def shown(title)
    "[...document.querySelectorAll('figcaption')].find((it) => it.innerText.includes('#{title}'))" \
      "?.querySelector('b').textContent"
  end

  # axe-core's findings that keep somebody out, each with the elements.
  def faults(window, axe)
    window.evaluate(File.read(axe))
    window.evaluate("axe.run(document).then(({ violations }) => violations)").flat_map do |found|
      next [] unless %w[serious critical].include?(found["impact"])

      found["nodes"].map { |node| "#{found["id"]}: #{node["html"]}" }
    end
  end

  it "shows what the server does, and goes on", :shared_reactor do
    window = page
    window.wait_until("document.querySelector('#state').textContent === 'Live'")
    client = RawClient.open(@server.port)
    window.wait_until("#{shown("Connections")} === '2'")
    ticks = "document.querySelector('polyline').getAttribute('points').split(' ').length"
    before = window.evaluate(ticks)
    5.times { client.text("hello") && client.read_text }
    received = "[...document.querySelectorAll('tr')]" \
               ".some((it) => it.innerText.match(/Messages received\\s+5/))"
    window.wait_until(received)
    window.wait_until("#{ticks} > #{before + 1}")
  ensure
    client&.disconnect
  end

  it "says so when the server is gone", :shared_reactor do
    window = page
    window.wait_until("document.querySelector('#state').textContent === 'Live'")
    window.evaluate("window.fetch = () => Promise.reject(new Error('nobody')); true")
    window.wait_until("document.querySelector('#state.lost')?.textContent === 'No numbers: nobody'")
  end

  [[1100, 720], [390, 780], [320, 640]].product(%w[light dark]).each do |(width, height), scheme|
    it "has no serious fault to axe-core at #{width} px, #{scheme}", :shared_reactor do
      skip "there is no axe-core (bin/setup test installs it)" unless File.exist?(axe)
      window = page
      window.wait_until("document.querySelector('#state').textContent === 'Live'")
      path = File.join(Example::ROOT, "tmp/screenshots/live-#{width}-#{scheme}.png")
      window.screenshot(path, width: width, height: height, scheme: scheme, mobile: width < 400)

      expect(faults(window, axe)).to be_empty
      expect(window.evaluate("document.documentElement.scrollWidth")).to be <= width
    end
  end
end
