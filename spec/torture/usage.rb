# frozen_string_literal: true

require "etc"

module Torture
  # Usage of a process, as the kernel counts it.
  class Usage
    TICKS = Etc.sysconf(Etc::SC_CLK_TCK).to_f

    def initialize(pid)
      @directory = "/proc/#{pid}"
    end

    # Bytes in memory: now, and at the most since the mark.
    def rss = status("VmRSS")
    def peak = status("VmHWM")

    # Keeps the kernel's file open from now on: it can be read where no descriptor is left, where
    # opening it would have Ruby collect garbage first.
    def hold_open
      @status = File.open("#{@directory}/status")
      self
    end

    # From now on the peak and the growth are counted.
    def mark
      File.write("#{@directory}/clear_refs", "5")
      @marked = rss
    end

    # Bytes more than at the mark, at the most and now.
    def peak_growth = peak - @marked
    def growth = rss - @marked

    def fds = Dir.children("#{@directory}/fd").size
    def threads = Dir.children("#{@directory}/task").size

    # Seconds of the processor, in user and system mode.
    def cpu
      fields = File.read("#{@directory}/stat").rpartition(")").last.split
      fields.values_at(11, 12).sum(&:to_i) / TICKS
    end

    private

    def status(field) = Integer(text[/^#{field}:\s+(\d+)/, 1]) * 1024

    def text
      return File.read("#{@directory}/status") unless @status

      @status.rewind
      @status.read
    end
  end
end
