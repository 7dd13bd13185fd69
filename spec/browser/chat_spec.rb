# frozen_string_literal: true

require_relative "chromium"
require_relative "example"

# The demo page in a real browser. `.ci/run` runs it; screenshots go to tmp/screenshots.
RSpec.describe "the chat in Chromium", timeout: 180 do
  before(:context) do
    @browser = Chromium.new
    @demo = Example.new("chat")
  end

  after(:context) do
    @browser&.quit
    @demo&.stop
  ensure
    @demo&.kill
  end

  def page(path = "/") = @browser.open("http://127.0.0.1:#{@demo.port}#{path}")

  def join(name)
    page.tap do |window|
      window.wait_until(state("open"))
      window.type("#name", name)
      window.wait_until("document.querySelector('#people').innerText.includes(#{name.to_json})")
    end
  end

  def state(word) = "document.querySelector('#state').dataset.state === '#{word}'"

  def said(words)
    "[...document.querySelectorAll('.line')].some((l) => l.innerText.includes(#{words.to_json}))"
  end

  def screenshot(window, name, **options)
    window.screenshot(File.join(Example::ROOT, "tmp/screenshots/#{name}.png"), **options)
  end

  # Opens a WebSocket in the page; the script's `done` ends the wait for it.
  def in_page(window, path, script)
    window.evaluate(<<~JAVASCRIPT)
      new Promise((done, fail) => {
        const ws = new WebSocket("ws://" + location.host + #{path.to_json});
        ws.binaryType = "arraybuffer";
        ws.onerror = () => fail(new Error("the WebSocket failed"));
        #{script}
      })
    JAVASCRIPT
  end

  it "passes messages between two windows" do
    ada = join("Ada")
    ben = join("Ben")
    ada.wait_until("document.querySelector('#people').innerText.includes('Ben')")

    ada.type("#text", "Hello Ben")
    ben.wait_until(said("Hello Ben"))
    ben.type("#text", "Hello <b>Ada</b>, here are 3 > 2 & \u{1F44B}")
    ada.wait_until(said("Hello <b>Ada</b>, here are 3 > 2 & \u{1F44B}"))
    expect(ada.evaluate("document.querySelector('#log b')")).to be_nil
    # Those of other examples may not have been gone for long enough.
    ada.wait_until("document.querySelectorAll('#people li').length === 2")
    expect(ada.text("#people")).to eq "Ada (you)\nBen"
    expect(ada.text("#state")).to eq "Connected"

    ada.type("#text", "A phone in the one hand, #{"a rather long line " * 8}and the end of it.")
    ada.wait_until(said("the end of it"))
    screenshot(ada, "desktop", width: 1100, height: 720)
    screenshot(ada, "desktop-dark", width: 1100, height: 720, scheme: "dark")
    screenshot(ben, "phone", width: 390, height: 780, mobile: true)
    screenshot(ben, "phone-dark", width: 390, height: 780, mobile: true, scheme: "dark")
    expect(ben.evaluate("document.documentElement.scrollWidth")).to be <= 390

    ben.click("#toggle")
    ada.wait_until("document.querySelector('#log').innerText.includes('Ben has left')")
    expect(ada.text("#people")).to eq "Ada (you)"
  end

  describe "in a room of its own" do
    before { @demo = Example.new("chat") }
    after { @demo.stop }

    it "shows what the server does" do
      window = join("Dora")
      other = join("Emil")
      window.wait_until("document.querySelector('#connections').innerText === '2'")
      other.click("#toggle")
      window.click("#measure")
      window.wait_until("document.querySelector('#measured').innerText !== ''", seconds: 60)
      expect(window.text("#measured")).to match(/\A10,000 echoes in \d+\.\d\d s: [\d,]+ a second\z/)
      expect(window.text("#rate")).to match(/\A[\d,]+\z/)
      other.wait_until(state("closed"))
      expect(other.text("#rate")).to eq "\u2013"
    end

    it "leads to the server's plots" do
      window = page
      window.wait_until(state("open"))
      expect(window.evaluate("document.querySelector('#live').checkVisibility()")).to be true
      window.visit(window.evaluate("document.querySelector('#live').href"))
      window.wait_until("document.querySelector('#state')?.textContent === 'Live'")
    end

    def lines(window)
      window.evaluate("[...document.querySelectorAll('.line')].map((l) => l.lastChild.textContent)")
    end

    it "shows what was said after a reload" do
      window = join("Gina")
      %w[first second].each do |words|
        window.type("#text", words)
        window.wait_until(said(words))
      end
      window.evaluate("window.before = true")
      window.visit(window.evaluate("location.href"))
      window.wait_until("!window.before && document.querySelectorAll('.line').length > 0")
      expect(lines(window)).to eq %w[first second]
    end

    it "shows what was said while it was away, and nothing twice" do
      window = join("Hugo")
      other = join("Ida")
      other.type("#text", "before")
      window.wait_until(said("before"))
      window.click("#toggle")
      window.wait_until(state("closed"))
      other.type("#text", "meanwhile")
      other.wait_until(said("meanwhile"))
      window.click("#toggle")
      window.wait_until(said("meanwhile"))
      other.type("#text", "after")
      window.wait_until(said("after"))
      expect(lines(window)).to eq %w[before meanwhile after]
      # Not that of another beginning.
      expect(window.text("#log")).to include "Closed: 1000"
    end

    it "is used by keyboard alone" do
      window = page
      window.wait_until(state("open"))
      reached = Array.new(9) do
        window.press("Tab")
        window.evaluate("document.activeElement.id || document.activeElement.innerText")
      end
      expect(reached)
        .to eq ["toggle", "log", "name", "Change name", "people", "measure", "live", "text", "Send"]
      window.evaluate("document.querySelector('#toggle').focus()")
      window.press("Enter")
      window.wait_until(state("closed"))
      window.press("Enter")
      window.wait_until(state("open"))
    end

    axe = File.join(Example::ROOT, "tmp/clients/node_modules/axe-core/axe.min.js")

    # axe-core's findings that keep somebody out, each with the elements.
    def faults(window, axe)
      window.evaluate(File.read(axe))
      window.evaluate("axe.run(document).then(({ violations }) => violations)").flat_map do |found|
        next [] unless %w[serious critical].include?(found["impact"])

        found["nodes"].map { |node| "#{found["id"]}: #{node["html"]}" }
      end
    end

    [[1100, 720], [390, 780], [320, 640]].product(%w[light dark]).each do |(width, height), scheme|
      it "has no serious fault to axe-core at #{width} px, #{scheme}" do
        skip "there is no axe-core (bin/setup test installs it)" unless File.exist?(axe)
        window = join("Frida")
        window.type("#text", "Hello from #{width} px")
        window.wait_until(said("Hello from #{width} px"))
        screenshot(window, "#{width}-#{scheme}", width: width, height: height, scheme: scheme,
                                                 mobile: width < 400)
        expect(faults(window, axe)).to be_empty
        expect(window.evaluate("document.documentElement.scrollWidth")).to be <= width
        window.click("#toggle")
        window.wait_until(state("closed"))
        expect(faults(window, axe)).to be_empty
      end
    end
  end

  it "shows how the connection ended and opens it again" do
    window = join("Carol")
    window.type("#text", "/close 4001")
    window.wait_until(state("closed"))
    expect(window.text("#state")).to eq "Closed: 4001 (as you asked)"
    screenshot(window, "closed", width: 390, height: 780, mobile: true)
    expect(window.evaluate("document.querySelector('#text').disabled")).to be true

    window.click("#toggle")
    window.wait_until(state("open"))
    window.wait_until("document.querySelector('#people').innerText.includes('Carol')")
    window.click("#toggle")
    window.wait_until(state("closed"))
    expect(window.text("#state")).to eq "Closed: 1000"
  end

  it "goes on by itself where the server comes back" do
    window = port = nil
    Example.run("chat") do |first|
      port = first.port
      window = @browser.open("http://127.0.0.1:#{port}/")
      window.wait_until(state("open"))
    end
    window.wait_until(state("closed"))
    expect(window.text("#state")).to start_with "Closed: 1006 (connection lost). Next try in"
    Example.run("chat", port: port) do
      window.wait_until(state("open"), seconds: 40)
      window.wait_until("document.querySelector('#people').innerText === 'Guest 1 (you)'")
    end
  end

  describe "echo" do
    before(:context) { @window = page }

    [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 4 << 20].each do |size|
      it "brings back text of #{size} bytes" do
        same = in_page(@window, "/echo", <<~JAVASCRIPT)
          const text = "aä€\u{1F600}".repeat(#{size} / 10) + "x".repeat(#{size} % 10);
          ws.onopen = () => ws.send(text);
          ws.onmessage = ({ data }) => {
            ws.close();
            done(data === text && new TextEncoder().encode(data).length === #{size});
          };
        JAVASCRIPT
        expect(same).to be true
      end

      it "brings back #{size} bytes" do
        same = in_page(@window, "/echo", <<~JAVASCRIPT)
          const bytes = Uint8Array.from({ length: #{size} }, (_, i) => (i * 31 + (i >> 8)) & 255);
          ws.onopen = () => ws.send(bytes);
          ws.onmessage = ({ data }) => {
            ws.close();
            const back = new Uint8Array(data);
            done(back.length === bytes.length && back.every((byte, i) => byte === bytes[i]));
          };
        JAVASCRIPT
        expect(same).to be true
      end
    end
  end

  describe "close" do
    before(:context) { @window = page }

    closed = "ws.onclose = ({ code, reason, wasClean }) => done([code, reason, wasClean]);"

    [1000, 3000, 4001, 4999].each do |code|
      it "brings #{code} into the page" do
        event = in_page(@window, "/close?code=#{code}", closed)
        expect(event).to eq [code, "as you asked", true]
      end
    end

    it "gives the page's own code back" do
      event = in_page(@window, "/echo", "ws.onopen = () => ws.close(4321, 'bye'); #{closed}")
      expect(event.values_at(0, 2)).to eq [4321, true]
    end
  end
end
