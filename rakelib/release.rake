# frozen_string_literal: true

require_relative "release_check"

namespace :release do
  desc "Whether this working tree, and the native gems in pkg/, can be published as a version"
  task :check do
    complaints = ReleaseCheck.new(Dir.pwd).complaints
    complaints.each do |question, all|
      puts format("%-20<question>s %<answer>s", question: question.to_s.tr("_", " "),
                                                answer: all.empty? ? "good" : "no")
      all.each { |complaint| puts "  #{complaint}" }
    end
    abort "release: not yet" if complaints.values.any?(&:any?)
  end
end
